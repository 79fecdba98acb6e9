//! Engine calls from end to end: shim, dummy engine, limits, confinement.

mod confinement;
mod ending;
mod fixture;
mod outcome;
mod programs;
mod real;
