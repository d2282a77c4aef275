/** Text for people in the scripts of boot loaders: whatever one of them would interpret becomes `_`, nothing is refused. At most 200 characters. */
export function plainText(text: string): string {
  return text.replace(/[^A-Za-z0-9 _./:=,@%+()'-]/g, '_').slice(0, 200)
}
