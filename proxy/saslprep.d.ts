declare module 'saslprep' {
  /** RFC 4013; throws where the text holds a prohibited character. */
  export default function saslprep(text: string): string;
}
