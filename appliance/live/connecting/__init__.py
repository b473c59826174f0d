"""Opens, resumes and rotates connections to the Live service."""
