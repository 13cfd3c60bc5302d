"""What runs made, for looking at: where the bytes are, and previews of every type. All of it was made by strangers' code:
text is shown as text, markup only sanitised or in a sandboxed frame."""
