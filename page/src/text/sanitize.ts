// The one way from HTML text to nodes of the page. Whatever a model or a file says goes through here.
import DOMPurify from 'dompurify';

const purify = DOMPurify(window);

// Lengths and colours that maths needs, from data-style. Set as properties: the page's policy admits no style attributes.
const STYLES = /^(?:color|background-color|padding(?:-\w+)?|margin(?:-\w+)?|border(?:-\w+)*|height|width|min-width|vertical-align|font-\w+|text-align|math-\w+)$/;

const pending: [Element, string][] = [];

purify.addHook('afterSanitizeAttributes', (node) => {
  const style = node.getAttribute('data-style');
  if (style !== null) {
    node.removeAttribute('data-style');
    if (node.closest('math')) pending.push([node, style]);
  }
  if (node.tagName === 'A') {
    node.setAttribute('target', '_blank');
    node.setAttribute('rel', 'noopener noreferrer nofollow');
  }
});

function applyStyle(element: Element, style: string): void {
  for (const declaration of style.split(';')) {
    const colon = declaration.indexOf(':');
    const name = declaration.slice(0, colon).trim();
    if (colon > 0 && STYLES.test(name)) {
      (element as HTMLElement).style.setProperty(name, declaration.slice(colon + 1).trim());
    }
  }
}

export function sanitized(html: string): DocumentFragment {
  const fragment = purify.sanitize(html, {
    RETURN_DOM_FRAGMENT: true,
    USE_PROFILES: { html: true, mathMl: true },
    // Nothing that loads, submits, plays, frames or names things.
    FORBID_TAGS: ['img', 'picture', 'source', 'video', 'audio', 'form', 'button', 'textarea', 'select', 'style', 'iframe', 'dialog'],
    FORBID_ATTR: ['style', 'id', 'name', 'srcset', 'src', 'poster', 'background', 'autofocus', 'popover', 'popovertarget'],
    // Values of all attributes are held to it, so it admits those without a scheme.
    ALLOWED_URI_REGEXP: /^(?:(?:https?|mailto):|[^a-z]|[a-z+.-]+(?:[^a-z+.\-:]|$))/i,
    SANITIZE_NAMED_PROPS: true,
  });
  for (const [element, style] of pending.splice(0)) applyStyle(element, style);
  return fragment;
}
