// Runs before the first paint: a stored choice wins over the system's.
const chosenTheme = localStorage.getItem("kfdash.theme");
if (chosenTheme) document.documentElement.dataset.theme = chosenTheme;
