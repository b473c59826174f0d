"""The device's side of provisioning: enrolment, identity and tokens."""
