// Shows the broker's own document. By default the page would send it to a third party, which
// validates it.
SwaggerUIBundle({
  url: '/api/openapi.json',
  dom_id: '#swagger-ui',
  deepLinking: true,
  validatorUrl: 'none',
});
