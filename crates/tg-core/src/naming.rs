//! Names of protocols and branches: slugs, numbers, what is legal.
