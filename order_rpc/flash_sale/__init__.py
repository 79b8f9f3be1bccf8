"""Flash sales: few goods, a short time, and many who want them at one moment."""
