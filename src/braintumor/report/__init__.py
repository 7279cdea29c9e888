"""The page that is shown to people: `write.render`."""
