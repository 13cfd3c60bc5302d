// The part of an address behind "#" is not sent to the server; links that the SDK prints are made of it, so it goes along by hand.
for (const field of document.querySelectorAll("[data-next]")) {
  if (location.hash && !field.value.includes("#")) field.value = (field.value || "/") + location.hash;
}
