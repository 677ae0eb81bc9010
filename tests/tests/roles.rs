//! The roles of deploy/nats on a real broker: each can do all that it needs, and nothing else.

#[path = "roles/commands.rs"]
mod commands;
#[path = "roles/files.rs"]
mod files;
#[path = "roles/hostile.rs"]
mod hostile;
#[path = "roles/refused.rs"]
mod refused;
