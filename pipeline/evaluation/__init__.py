"""Are the images good? Features of images, distances between sets of them, copies among them."""
