// The page: uploads a raw, follows its job, and offers the result.

const form = document.getElementById("form");
const bar = document.getElementById("progress");
const line = document.getElementById("status");
const button = form.querySelector("button");

form.strength.addEventListener("input", () => {
  form.querySelector("output").value = form.strength.value;
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  bar.hidden = false;
  try {
    const job = await upload(form.file.files[0], form.strength.value);
    offer(await follow(job));
  } catch (error) {
    show(error.message, true);
  } finally {
    button.disabled = false;
    bar.hidden = true;
  }
});

function show(text, failed = false) {
  line.textContent = text;
  line.className = failed ? "error" : "";
}

// XMLHttpRequest: fetch() does not tell how far an upload is.
function upload(file, strength) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/denoise?strength=${strength}`);
    request.setRequestHeader("Prefer", "respond-async");
    request.responseType = "json";
    request.upload.onprogress = (event) => {
      bar.value = event.loaded / event.total;
      show("Uploading …");
    };
    request.onerror = () => reject(new Error("The service cannot be reached."));
    request.onload = () => {
      if (request.status === 202) resolve(request.response);
      else reject(new Error(request.response?.detail ?? `The service answered ${request.status}.`));
    };
    const body = new FormData();
    body.append("file", file);
    request.send(body);
  });
}

function follow(job) {
  return new Promise((resolve, reject) => {
    const events = new EventSource(job.links.events);
    events.addEventListener("error", () => {
      if (events.readyState === EventSource.CLOSED) reject(new Error("The job cannot be followed any more; reload the page."));
      else show("Looking for the service …");
    });
    events.addEventListener("job", (event) => {
      const current = JSON.parse(event.data);
      bar.value = current.progress;
      show(current.state === "queued" ? "Waiting …" : "Denoising …");
      if (current.finished_at === null) return;
      events.close();
      if (current.state === "succeeded") resolve(current);
      else reject(new Error(current.error?.message ?? "The job was cancelled."));
    });
  });
}

function offer(job) {
  const link = document.createElement("a");
  link.href = job.links.result;
  link.download = job.result.name;
  link.textContent = `Download ${job.result.name}`;
  show("");
  line.replaceChildren(link);
}
