"""The page that is shown to people: `page.render`."""
