// Uploads: a file chosen, or dropped anywhere on a page that has a [data-upload] form. The server answers with a page either way.
export function startUploads() {
  const form = document.querySelector("form[data-upload]");
  if (!form) return;
  const field = form.querySelector("input[type=file]"), veil = document.getElementById("drop-veil");
  const send = () => {
    if (!field.files.length) return;
    document.body.classList.add("uploading");
    form.requestSubmit();
  };
  field.addEventListener("change", send);
  document.addEventListener("click", (event) => event.target.closest("[data-choose]") && field.click());

  let depth = 0; // dragenter and dragleave come for every element passed over
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  const show = (on) => veil && (veil.hidden = !on);
  addEventListener("dragenter", (event) => carriesFiles(event) && show(++depth > 0));
  addEventListener("dragleave", (event) => carriesFiles(event) && (depth = Math.max(0, depth - 1)) === 0 && show(false));
  addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    show((depth = 0) > 0);
    const files = new DataTransfer();
    files.items.add(event.dataTransfer.files[0]);
    field.files = files.files;
    send();
  });
  // Coming back to a page out of the browser's cache: it is not uploading any more.
  addEventListener("pageshow", () => document.body.classList.remove("uploading"));
}
