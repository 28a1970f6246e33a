/** The getting-started page. */
