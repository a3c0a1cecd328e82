mod acme;
mod load;
mod warnings;
