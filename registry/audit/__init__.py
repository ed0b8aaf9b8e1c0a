"""The audit log: who has changed what, when and why, in a chain that shows every edit."""
