"""The plug-in for napari: a widget that audits a network and shows what explains its answers."""
