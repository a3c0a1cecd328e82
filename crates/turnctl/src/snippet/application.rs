//! Applications of one's own, which have credentials made by the server (`POST /ice`).

use super::{Facts, Snippet, SnippetError};

/// How an application asks for ICE servers: with curl, and with fetch on its server.
pub(super) fn ice(facts: &Facts<'_>) -> Result<Snippet, SnippetError> {
    let address = facts.config.admin.metrics.filter(|_| !facts.config.ice.tokens.is_empty());
    let address = address.ok_or(SnippetError::NoIceToken)?;
    let url = format!("http://{address}/ice");
    let text = format!(
        r#"// To try it, with the token in ICE_TOKEN:
//   printf 'Authorization: Bearer %s' "$ICE_TOKEN" | curl --fail-with-body -H @- -H "Content-Type: application/json" -d '{{"user": "alice", "ttl": 3600}}' {url}
// On the server of the application, once it knows who asks. The token is for it alone, never for a page.
async function iceServers(user) {{
  const response = await fetch("{url}", {{
    method: "POST",
    headers: {{
      "Authorization": `Bearer ${{process.env.ICE_TOKEN}}`,
      "Content-Type": "application/json",
    }},
    body: JSON.stringify({{ user, ttl: 3600 }}),
  }});
  if (!response.ok) throw new Error(`${{response.status}}: ${{await response.text()}}`);
  return response.json(); // In the page: new RTCPeerConnection(...)
}}
"#
    );
    Ok(Snippet::new(
        text,
        "the server of the application; from another machine it needs a proxy with TLS",
    ))
}
