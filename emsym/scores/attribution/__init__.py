"""Attribution: how much each pixel of each slice matters to a network."""
