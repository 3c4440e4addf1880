//! SQL over the lake with DataFusion.
