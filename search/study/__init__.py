"""The loop of a study: what runs next, what is kept, and what a later start puts right."""
