// The search shows what is found as plain text: formulas as they are read, not as TeX.
const SIGNS = {
  alpha: "α", beta: "β", gamma: "γ", delta: "δ", epsilon: "ε", varepsilon: "ε", zeta: "ζ", eta: "η",
  theta: "θ", kappa: "κ", lambda: "λ", mu: "μ", nu: "ν", xi: "ξ", pi: "π", rho: "ρ", sigma: "σ",
  tau: "τ", phi: "φ", varphi: "φ", chi: "χ", psi: "ψ", omega: "ω", Gamma: "Γ", Delta: "Δ",
  Lambda: "Λ", Sigma: "Σ", Phi: "Φ", Psi: "Ψ", Omega: "Ω", ell: "ℓ", sum: "∑", prod: "∏", int: "∫",
  partial: "∂", nabla: "∇", infty: "∞", cdot: "·", times: "×", pm: "±", sim: "∼", approx: "≈",
  le: "≤", leq: "≤", ge: "≥", geq: "≥", ne: "≠", neq: "≠", in: "∈", to: "→", rightarrow: "→",
  mid: "|", Vert: "‖", top: "ᵀ", ldots: "…", dots: "…", sqrt: "√", quad: " ", qquad: " ",
};
// Fonts, sizes and spaces leave no trace.
const SILENT = /\\(?:mathcal|mathrm|mathbb|mathbf|boldsymbol|operatorname|text|texttt|left|right|big|Big|bigl|bigr|Bigl|Bigr|tfrac|displaystyle|limits|begin\{[^}]*\}|end\{[^}]*\}|[,;:!])(?![A-Za-z])/g;
const ACCENTS = { hat: "\u0302", tilde: "\u0303", bar: "\u0304", overline: "\u0304" };

function formulaAsText(tex) {
  return tex
    .replace(/\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}/g, "($1)/($2)")
    .replace(/\\(hat|tilde|bar|overline)\s*\{?\s*(\\?[A-Za-z]+)\}?/g, (_, accent, letter) => {
      const plain = letter.startsWith("\\") ? (SIGNS[letter.slice(1)] ?? letter.slice(1)) : letter;
      return plain[0] + ACCENTS[accent] + plain.slice(1);
    })
    .replace(SILENT, "")
    .replace(/\\([A-Za-z]+)/g, (_, name) => SIGNS[name] ?? name)
    .replace(/\\\|/g, "‖")
    .replace(/\^\{?2\}?/g, "²")
    .replace(/[{}\\~&]/g, "")
    .replace(/\s+/g, " ")
    .trim();
}

document.addEventListener("DOMContentLoaded", () => {
  if (typeof Search === "undefined") return; // not the search page
  const original = Search.htmlToText;
  Search.htmlToText = (html, anchor) =>
    original(
      html.replace(/\\\(([\s\S]+?)\\\)|\\\[([\s\S]+?)\\\]/g, (_, inline, display) =>
        formulaAsText((inline ?? display).replace(/&amp;/g, "&")),
      ),
      anchor,
    );
});
