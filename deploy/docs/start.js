// The page's policy allows scripts of its own files only, so this is one.
window.onload = () => window.SwaggerUIBundle({ url: '/openapi.yaml', dom_id: '#page', deepLinking: true, validatorUrl: null });
