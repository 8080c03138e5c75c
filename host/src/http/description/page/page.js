// Shows openapi.json: contents, operations with a form to try each, schemas. Text enters the page as text only.
"use strict";

/** An element with attributes and children; a child that is a string becomes text. */
function el(name, attributes, ...children) {
  const element = document.createElement(name);
  Object.entries(attributes ?? {}).forEach(([key, value]) => element.setAttribute(key, value));
  element.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null));
  return element;
}

/** Inline Markdown as far as descriptions use it: `code` and **strong**. */
function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((part) => {
    if (part.startsWith("`")) return el("code", {}, part.slice(1, -1));
    return part.startsWith("**") ? el("strong", {}, part.slice(2, -2)) : part;
  });
}

/** Paragraphs, and lists of lines that begin with a dash. */
function prose(text) {
  return (text ?? "").split(/\n\n+/).filter(Boolean).map((block) => {
    if (!block.startsWith("- ")) return el("p", {}, inline(block));
    return el("ul", {}, block.slice(2).split(/\n- /).map((item) => el("li", {}, inline(item))));
  });
}

function json(value) {
  return el("pre", {}, JSON.stringify(value, null, 2));
}

/** A schema in a few words; a schema of its own is a link. */
function typeOf(schema) {
  if (!schema || Object.keys(schema).length === 0) return ["any JSON"];
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return [el("a", { href: `#schema-${name}` }, name)];
  }
  const variants = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (variants) return variants.flatMap((variant, index) => [index ? (schema.allOf ? " and " : " or ") : "", ...typeOf(variant)]);
  if (schema.enum) return [schema.enum.map((value) => JSON.stringify(value)).join(" | ")];
  const type = [schema.type ?? (schema.properties ? "object" : "any JSON")].flat().join(" or ");
  if (schema.items) return ["array of ", ...typeOf(schema.items)];
  return [type, ...bounds(schema)];
}

function bounds(schema) {
  const range = (from, to, what) => (from === undefined && to === undefined ? [] : [`, ${from ?? "…"} to ${to ?? "…"}${what}`]);
  return [
    ...(schema.format ? [` (${schema.format})`] : []),
    ...range(schema.minimum, schema.maximum, ""),
    ...range(schema.minLength, schema.maxLength, " characters"),
    ...(schema.default === undefined ? [] : [`, default ${JSON.stringify(schema.default)}`]),
  ];
}

/** A table of names with their types and descriptions. */
function table(rows) {
  return el("table", {}, rows.map(([name, note, type, description]) =>
    el("tr", {}, el("th", {}, el("code", {}, name), el("div", { class: "dim" }, note)),
      el("td", {}, el("div", { class: "dim" }, type), prose(description)))));
}

/** The members of an object, of each of its variants where it has some. */
function members(schema) {
  const own = Object.entries(schema.properties ?? {}).map(([name, property]) =>
    [name, schema.required?.includes(name) ? "" : "optional", typeOf(property), property.description]);
  const parts = (schema.allOf ?? schema.oneOf ?? []).filter((part) => part.properties || part.allOf || part.oneOf);
  return [own.length ? table(own) : undefined, ...parts.flatMap(members)];
}

function parameters(operation) {
  if (!operation.parameters?.length) return [];
  const rows = operation.parameters.map((parameter) =>
    [parameter.name, `${parameter.in}${parameter.required ? "" : ", optional"}`, typeOf(parameter.schema), parameter.description]);
  return [el("h4", {}, "Parameters"), table(rows)];
}

function body(operation) {
  if (!operation.requestBody) return [];
  const parts = Object.entries(operation.requestBody.content).flatMap(([type, content]) =>
    [el("p", {}, el("code", {}, type), ": ", typeOf(content.schema)), content.example === undefined ? undefined : json(content.example)]);
  return [el("h4", {}, "Body"), prose(operation.requestBody.description), parts];
}

function answers(operation) {
  const rows = Object.entries(operation.responses).map(([status, response]) => {
    const contents = Object.entries(response.content ?? {}).flatMap(([type, content]) => [
      el("div", { class: "dim" }, type, content.schema?.allOf ? [] : [": ", typeOf(content.schema)]),
      examples(content),
    ]);
    const headers = Object.entries(response.headers ?? {}).map(([name, header]) =>
      el("p", {}, el("code", {}, name), ": ", inline(header.description ?? "")));
    return el("tr", {}, el("th", {}, status), el("td", {}, prose(response.description), headers, contents));
  });
  return [el("h4", {}, "Answers"), el("table", {}, rows)];
}

function examples(content) {
  const named = Object.entries(content.examples ?? {}).map(([name, example]) => [name, example.value]);
  const all = content.example === undefined ? named : [["example", content.example], ...named];
  return all.map(([name, value]) => el("details", {}, el("summary", {}, name), json(value)));
}

/** A form that sends the request to this host and shows the answer. */
function trial(path, method, operation) {
  const inputs = (operation.parameters ?? []).map((parameter) => {
    const value = parameter.in === "path" ? (parameter.example ?? "") : "";
    const input = el("input", { value, placeholder: String(parameter.example ?? "") });
    return { parameter, input, label: el("label", {}, parameter.name, input) };
  });
  const example = Object.values(operation.requestBody?.content ?? {})[0]?.example;
  const payload = operation.requestBody ? el("textarea", { "aria-label": "Body" }, JSON.stringify(example ?? {}, null, 2)) : undefined;
  const answer = el("div", { "aria-live": "polite" });
  const form = el("form", {}, inputs.map((input) => input.label), payload, el("button", {}, "Send"), answer);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(path, method, inputs, payload?.value).then((parts) => answer.replaceChildren(...parts));
  });
  return el("details", {}, el("summary", {}, "Try it"), form);
}

async function send(path, method, inputs, payload) {
  const headers = new Headers(payload === undefined ? {} : { "Content-Type": "application/json" });
  const query = new URLSearchParams();
  let filled = path;
  for (const { parameter, input } of inputs) {
    if (parameter.in === "path") filled = filled.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value && parameter.in === "query") query.set(parameter.name, input.value);
    else if (input.value) headers.set(parameter.name, input.value);
  }
  const url = filled.slice(1) + (query.size ? `?${query}` : "");
  try {
    const response = await fetch(url, { method: method.toUpperCase(), headers, body: payload });
    const text = await response.text();
    const shown = /json$/.test(response.headers.get("Content-Type")) ? json(JSON.parse(text)) : el("pre", {}, text);
    return [el("p", {}, `${response.status} ${response.statusText}`), shown];
  } catch (error) {
    return [el("p", {}, String(error))];
  }
}

function article(path, method, operation) {
  return el("article", { id: operation.operationId },
    el("header", {}, el("h3", {}, operation.summary),
      el("span", { class: "method" }, method), el("span", { class: "path" }, path)),
    el("div", {}, prose(operation.description), parameters(operation), body(operation), answers(operation), trial(path, method, operation)));
}

function show(api) {
  const operations = Object.entries(api.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, method, operation })));
  const groups = api.tags.map((tag) => ({ tag, of: operations.filter(({ operation }) => operation.tags.includes(tag.name)) }));
  const schemas = Object.entries(api.components.schemas);
  const link = (id, text) => el("li", {}, el("a", { href: `#${id}` }, text));
  document.getElementById("contents").replaceChildren(
    ...groups.flatMap(({ tag, of }) => [el("h2", {}, tag.name),
      el("ul", {}, of.map(({ operation }) => link(operation.operationId, operation.summary)))]),
    el("h2", {}, "schemas"), el("ul", {}, schemas.map(([name]) => link(`schema-${name}`, name))));
  document.getElementById("api").replaceChildren(
    el("h1", {}, `${api.info.title} `, el("small", {}, api.info.version, " · ", el("a", { href: "openapi.json" }, "openapi.json"))),
    ...prose(api.info.description),
    ...groups.flatMap(({ tag, of }) => [el("h2", {}, tag.name), ...prose(tag.description),
      ...of.map(({ path, method, operation }) => article(path, method, operation))]),
    el("h2", {}, "Schemas"),
    ...schemas.map(([name, schema]) => el("article", { id: `schema-${name}` }, el("header", {}, el("h3", {}, name)),
      el("div", {}, prose(schema.description), schema.properties ? [] : el("p", { class: "dim" }, typeOf(schema)), members(schema)))));
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

fetch("openapi.json").then((response) => response.json()).then(show);
