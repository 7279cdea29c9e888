"""One module a framework: fit(job, net, watch) and test(job, net), as its users write them."""
