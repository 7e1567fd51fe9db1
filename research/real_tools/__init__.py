"""Runs programs that people use to hide messages in images, and measures what V4 finds in what they wrote."""
