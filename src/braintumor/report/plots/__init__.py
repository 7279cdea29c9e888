"""One file a picture: `draw_<name>(...) -> Figure`; `style.to_png` makes the bytes."""
