// The chosen theme, set before anything is drawn: not a module, which would run too late.

document.documentElement.dataset.theme = localStorage.getItem("photosite-theme") ?? "auto";
