"""Who may send what, and what a refusal says. Pure: values in, values out."""
