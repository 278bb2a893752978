"""What there should be, given what there is. Pure: objects in, edits out; the daemon applies them and asks again."""
