"""What Millrace measures of itself, and the HTTP endpoints that tell it."""
