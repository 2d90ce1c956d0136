export function generate(): readonly { readonly file: string; readonly content: string }[];
