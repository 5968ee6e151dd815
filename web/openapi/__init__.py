"""The OpenAPI 3.1 document, made from the routes and what stands beside their views."""
