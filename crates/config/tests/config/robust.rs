//! Whatever stands in the file, reading it ends in a configuration or in errors, and a secret is
//! never part of the errors.

use proptest::prelude::*;
use taciturn_config::Config;

/// Keeps the generated secret from being made: these configurations all have a user.
const USER: &str = "auth.users = [\"alice:correct horse\"]\n";

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "\\PC*") {
        let _ = Config::from_toml(&format!("{USER}{text}")).map_err(|errors| errors.to_string());
    }

    #[test]
    fn any_mix_of_toml_pieces_is_read_without_panic(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "realm", "external_ip", "[auth]", "[[listen]]", "[listen]", "users", "secrets", "=", "=",
            "\"", "'", "[", "]", "{", "}", ",", "\n", "\n", "\"udp:[::]:3478\"", "\"\u{e9}\u{1f511}\"",
            "[tls]", "cert", "key", "acme", "acme_domains", "transport", "address", "\"auto\"", "\"udp+dtls\"",
            "proxy_protocol", "trusted_proxies", "\"::/0\"", "\"[::]:1\"",
            "99999999999999999999", "1.5", "true", "1979-05-27", "\"\"\"", "\\", "\t", ".", "#",
        ]), 0..40)
    ) {
        let text = pieces.concat();
        let _ = Config::from_toml(&format!("{USER}{text}")).map_err(|errors| errors.to_string());
    }

    #[test]
    fn secret_never_shows_however_the_file_is_broken(
        before in "[a-z_]{0,8}[ =\\[\"]{0,3}",
        key in prop::sample::select(vec![
            "users = ", "secrets = ", "auth.secrets = ", "auth = { secrets = ", "secret = ",
            "static-auth-secret=", "password: ", "[auth]\nsecrets = ", "secrets = [\n",
        ]),
        open in "[\\[\" ']{0,3}",
        close in "[\\]\" ',}=]{0,3}",
    ) {
        let text = format!("realm = 5\n{before}\n{key}{open}Zq7Zq7Zq7Zq7Zq7{close}\n");
        if let Err(errors) = Config::from_toml(&format!("{USER}{text}")) {
            let report = errors.to_string();
            prop_assert!(!report.contains("Zq7"), "{text}\n{report}");
        }
    }
}
