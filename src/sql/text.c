/* Characters and their encoding. */
#include "sql/lex_int.h"

bool prg__is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool prg__is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         (unsigned char)c > 127;
}

bool prg__is_name_char(char c) {
  return prg__is_name_start(c) || prg__is_digit(c);
}

bool prg__text_is(const char *at, size_t len, const char *upper) {
  for (size_t i = 0; i < len; i++) {
    char c = at[i];
    if (c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
    if (c != upper[i] || c == '\0') return false;
  }
  return upper[len] == '\0';
}

/* Length of the UTF-8 sequence at `p` (RFC 3629: no overlong forms, no
** surrogates, nothing over U+10FFFF), 0 when it is none. */
static size_t sequence_length(const unsigned char *p, size_t left) {
  unsigned char lo = 0x80, hi = 0xBF; /* what the second byte may be */
  size_t n;
  if (p[0] < 0x80) return 1;
  if (p[0] < 0xC2 || p[0] > 0xF4) return 0;
  n = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
  if (p[0] == 0xE0) lo = 0xA0;
  if (p[0] == 0xED) hi = 0x9F;
  if (p[0] == 0xF0) lo = 0x90;
  if (p[0] == 0xF4) hi = 0x8F;
  if (left < n || p[1] < lo || p[1] > hi) return 0;
  for (size_t i = 2; i < n; i++)
    if (p[i] < 0x80 || p[i] > 0xBF) return 0;
  return n;
}

const char *prg__text_check(const char *text, size_t len) {
  const unsigned char *p = (const unsigned char *)text;
  size_t i = 0;
  while (i < len) {
    size_t n = sequence_length(p + i, len - i);
    if (n == 0 || p[i] == 0) return text + i;
    i += n;
  }
  return NULL;
}

size_t prg__text_cut(const char *text, size_t len, size_t max) {
  if (len <= max) return len;
  while (max > 0 && ((unsigned char)text[max] & 0xC0) == 0x80) max--;
  return max;
}
