"""What people look at, made from records alone: figures as data, drawn as SVG and PNG, and one HTML page."""
