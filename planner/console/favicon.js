// The picture on the browser's tab: it shows trouble by its form, and not by its colour alone.

import { useEffect } from './html.js';

const LOOKS = {
  fine: ['#2f7d66', '<rect x="9.75" y="9.75" width="5.5" height="5.5" rx="1" fill="none" stroke="#2f7d66" stroke-width="1.5"/>'],
  trouble: ['#2f7d66', '<circle cx="11" cy="11" r="5" fill="#c62f2f"/><rect x="10.2" y="7.8" width="1.6" height="3.8" fill="#fff"/><rect x="10.2" y="12.4" width="1.6" height="1.6" fill="#fff"/>'],
  away: ['#8a8f94', '<path d="M9 9l6 6M15 9l-6 6" stroke="#8a8f94" stroke-width="2"/>'],
};

function picture(look) {
  const [colour, corner] = LOOKS[look];
  const squares = '<rect width="7" height="7" rx="1.5"/><rect x="9" width="7" height="7" rx="1.5"/><rect y="9" width="7" height="7" rx="1.5"/>';
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><g fill="${colour}">${squares}</g>${corner}</svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}

export function useFavicon(look) {
  useEffect(() => {
    document.querySelector('link[rel=icon]').href = picture(look);
  }, [look]);
}
