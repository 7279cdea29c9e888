"""The page that is shown to people: `render.render_report`."""
