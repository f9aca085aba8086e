"""The room of the MCP server, by which AI agents will reach a node; it comes in a later version."""
