"""Reading labelled examples: the digits that anyone has, arrays, tables of text, folders of images and clips."""
