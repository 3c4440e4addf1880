//! HTTP routes, OpenAPI, authentication.
