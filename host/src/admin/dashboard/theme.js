// Light or dark: as the system has it, or as chosen here.

const KEY = 'wharf.theme';
const CHOICES = ['auto', 'light', 'dark'];

export function theme() {
  const chosen = localStorage.getItem(KEY);
  return CHOICES.includes(chosen) ? chosen : 'auto';
}

function apply() {
  if (theme() === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme();
}

/** Lets `button` go through the choices. */
export function bindTheme(button) {
  const show = () => {
    button.textContent = `Theme: ${theme()}`;
  };
  button.addEventListener('click', () => {
    localStorage.setItem(KEY, CHOICES[(CHOICES.indexOf(theme()) + 1) % CHOICES.length]);
    apply();
    show();
  });
  show();
}

apply();
