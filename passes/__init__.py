"""The passes of the compiler: one file per pass, each a plain function from values to a value."""

if __name__ != "prunec.passes":
    raise ImportError("import this package as `prunec.passes`: a second copy has its own classes")
