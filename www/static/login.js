// The plan is in the part of the address after #, which a browser sends to nobody: the form leads back to it.
document.querySelector("form").action = location.href;
