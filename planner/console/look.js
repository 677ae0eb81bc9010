// Light or dark: as the system says, unless somebody chose.

const KEY = 'gridloom-look';
const NEXT = { '': 'dark', dark: 'light', light: '' };

const said = () => {
  try {
    return localStorage.getItem(KEY) || '';
  } catch {
    return '';
  }
};

export function apply(look = said()) {
  const root = document.documentElement;
  if (look) root.dataset.look = look;
  else delete root.dataset.look;
  return look;
}

export function turn() {
  const look = apply(NEXT[said()]);
  try {
    localStorage.setItem(KEY, look);
  } catch {
    // Where nothing may be kept it lasts as long as the page.
  }
  dispatchEvent(new Event('gridloom-look'));
  return look;
}
