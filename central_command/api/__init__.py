"""What appliances and scripts ask over HTTPS. Bearer credentials, no cookies; every refusal is a problem document."""
