"""The methods of the papers side by side: what is compared, what it is judged on, what is written of it."""
