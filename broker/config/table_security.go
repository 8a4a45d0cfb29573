package config

// tlsRows is encrypted listeners.
func tlsRows() []row {
	return []row{
		{"ssl.protocol", tString, "TLSv1.3", Medium, PerBroker, anything(), off, "The TLS version to prefer."},
		{"ssl.enabled.protocols", tList, "TLSv1.2,TLSv1.3", Medium, PerBroker, distinct(listRule{empty: true}), off, "The TLS versions accepted."},
		{"ssl.cipher.suites", tList, "", Medium, PerBroker, distinct(listRule{empty: true}), off, "The cipher suites accepted; empty leaves the choice to the TLS library."},
		{"ssl.client.auth", tString, "none", Medium, PerBroker, oneOf("required", "requested", "none"), off, "Whether clients must, may or need not show a certificate."},
		{"ssl.keystore.type", tString, "JKS", Medium, PerBroker, anything(), off, "The format of the key store; PEM holds certificates and keys as text."},
		{"ssl.keystore.location", tString, null, Medium, PerBroker, anything(), off, "The file with the node's certificate and key."},
		{"ssl.keystore.password", tPassword, null, Medium, PerBroker, anything(), off, "The password of the key store."},
		{"ssl.keystore.key", tPassword, null, Medium, PerBroker, anything(), off, "The private key as PEM text."},
		{"ssl.keystore.certificate.chain", tPassword, null, Medium, PerBroker, anything(), off, "The certificate chain as PEM text."},
		{"ssl.key.password", tPassword, null, Medium, PerBroker, anything(), off, "The password of the private key."},
		{"ssl.truststore.type", tString, "JKS", Medium, PerBroker, anything(), off, "The format of the trust store."},
		{"ssl.truststore.location", tString, null, Medium, PerBroker, anything(), off, "The file with the certificates that are trusted."},
		{"ssl.truststore.password", tPassword, null, Medium, PerBroker, anything(), off, "The password of the trust store."},
		{"ssl.truststore.certificates", tPassword, null, Medium, PerBroker, anything(), off, "The certificates that are trusted, as PEM text."},
		{"ssl.provider", tString, null, Medium, PerBroker, anything(), off, "The Java security provider for TLS."},
		{"ssl.keymanager.algorithm", tString, "SunX509", Medium, PerBroker, anything(), off, "The Java key manager."},
		{"ssl.trustmanager.algorithm", tString, "PKIX", Medium, PerBroker, anything(), off, "The Java trust manager."},
		{"ssl.secure.random.implementation", tString, null, Low, PerBroker, anything(), off, "The Java random generator for TLS."},
		{"ssl.endpoint.identification.algorithm", tString, "https", Low, PerBroker, anything(), off, "How the name in a server's certificate is checked; empty does not check it."},
		{"ssl.engine.factory.class", tClass, null, Low, PerBroker, anything(), off, "A Java class that makes TLS engines."},
		{"ssl.principal.mapping.rules", tString, "DEFAULT", Low, ReadOnly, anything(), off, "How a certificate's distinguished name becomes a user name."},
		{"ssl.allow.dn.changes", tBool, "false", Low, ReadOnly, anything(), off, "Whether a reloaded certificate may have another distinguished name."},
		{"ssl.allow.san.changes", tBool, "false", Low, ReadOnly, anything(), off, "Whether a reloaded certificate may have other host names."},
	}
}

// saslRows is logins.
func saslRows() []row {
	return []row{
		{"sasl.enabled.mechanisms", tList, "GSSAPI", Medium, PerBroker, distinct(listRule{empty: true}), off, "The login mechanisms offered."},
		{"sasl.mechanism.inter.broker.protocol", tString, "GSSAPI", Medium, PerBroker, anything(), off, "The mechanism brokers log in to each other with."},
		{"sasl.mechanism.controller.protocol", tString, "GSSAPI", High, ReadOnly, anything(), off, "The mechanism nodes log in to controllers with."},
		{"sasl.jaas.config", tPassword, null, Medium, PerBroker, anything(), off, "Login settings in Java's JAAS notation."},
		{"sasl.client.callback.handler.class", tClass, null, Medium, ReadOnly, anything(), off, "A Java class that supplies credentials on the client side."},
		{"sasl.server.callback.handler.class", tClass, null, Medium, ReadOnly, anything(), off, "A Java class that checks credentials."},
		{"sasl.server.max.receive.size", tInt, "524288", Medium, ReadOnly, anything(), off, "The largest login message accepted."},
		{"sasl.login.callback.handler.class", tClass, null, Medium, ReadOnly, anything(), off, "A Java class that supplies credentials for logging in."},
		{"sasl.login.class", tClass, null, Medium, ReadOnly, anything(), off, "A Java class that logs in."},
		{"sasl.login.connect.timeout.ms", tInt, null, Low, ReadOnly, anything(), off, "How long connecting to the identity provider may take."},
		{"sasl.login.read.timeout.ms", tInt, null, Low, ReadOnly, anything(), off, "How long the identity provider may take to answer."},
		{"sasl.login.retry.backoff.ms", tLong, "100", Low, ReadOnly, anything(), off, "The first pause between attempts to reach the identity provider."},
		{"sasl.login.retry.backoff.max.ms", tLong, "10000", Low, ReadOnly, anything(), off, "The longest such pause."},
		{"sasl.login.refresh.window.factor", tDouble, "0.8", Medium, PerBroker, anything(), off, "At which part of a token's life it is renewed."},
		{"sasl.login.refresh.window.jitter", tDouble, "0.05", Medium, PerBroker, anything(), off, "The random part added to that."},
		{"sasl.login.refresh.min.period.seconds", tShort, "60", Medium, PerBroker, anything(), off, "The shortest time between two renewals."},
		{"sasl.login.refresh.buffer.seconds", tShort, "300", Medium, PerBroker, anything(), off, "How long before its end a token is renewed at the latest."},
		{"sasl.kerberos.service.name", tString, null, Medium, PerBroker, anything(), off, "The Kerberos service name of the brokers."},
		{"sasl.kerberos.kinit.cmd", tString, "/usr/bin/kinit", Medium, PerBroker, anything(), off, "The kinit command."},
		{"sasl.kerberos.ticket.renew.window.factor", tDouble, "0.8", Medium, PerBroker, anything(), off, "At which part of a ticket's life it is renewed."},
		{"sasl.kerberos.ticket.renew.jitter", tDouble, "0.05", Medium, PerBroker, anything(), off, "The random part added to that."},
		{"sasl.kerberos.min.time.before.relogin", tLong, "60000", Medium, PerBroker, anything(), off, "The shortest time between two Kerberos logins."},
		{"sasl.kerberos.principal.to.local.rules", tList, "DEFAULT", Medium, PerBroker, distinct(listRule{empty: true}), off, "How a Kerberos principal becomes a user name."},
	}
}

// oauthRows is logins with OAuth tokens.
func oauthRows() []row {
	return []row{
		{"sasl.oauthbearer.allow.unverified.audience", tBool, "false", Medium, ReadOnly, anything(), off, "Whether tokens are accepted without checking whom they are for."},
		{"sasl.oauthbearer.allow.unverified.issuer", tBool, "false", Medium, ReadOnly, anything(), off, "Whether tokens are accepted without checking who issued them."},
		{"sasl.oauthbearer.assertion.algorithm", tString, "RS256", Medium, ReadOnly, oneOfFold("ES256", "RS256"), off, "How assertions for the identity provider are signed."},
		{"sasl.oauthbearer.assertion.claim.aud", tString, null, Medium, ReadOnly, anything(), off, "The audience claim of such an assertion."},
		{"sasl.oauthbearer.assertion.claim.exp.seconds", tInt, "300", Low, ReadOnly, between(0, 86400), off, "How long such an assertion is valid."},
		{"sasl.oauthbearer.assertion.claim.iss", tString, null, Medium, ReadOnly, anything(), off, "The issuer claim of such an assertion."},
		{"sasl.oauthbearer.assertion.claim.jti.include", tBool, "false", Medium, ReadOnly, anything(), off, "Whether such an assertion carries a random id."},
		{"sasl.oauthbearer.assertion.claim.nbf.seconds", tInt, "60", Low, ReadOnly, between(0, 3600), off, "How far back the start of its validity lies."},
		{"sasl.oauthbearer.assertion.claim.sub", tString, null, Medium, ReadOnly, anything(), off, "The subject claim of such an assertion."},
		{"sasl.oauthbearer.assertion.file", tString, null, Medium, ReadOnly, anything(), off, "A file with a finished assertion."},
		{"sasl.oauthbearer.assertion.private.key.file", tString, null, Medium, ReadOnly, anything(), off, "The key assertions are signed with."},
		{"sasl.oauthbearer.assertion.private.key.passphrase", tPassword, null, Medium, ReadOnly, anything(), off, "The passphrase of that key."},
		{"sasl.oauthbearer.assertion.template.file", tString, null, Medium, ReadOnly, anything(), off, "A file with further claims."},
		{"sasl.oauthbearer.client.credentials.client.id", tString, null, Medium, ReadOnly, anything(), off, "The client id at the identity provider."},
		{"sasl.oauthbearer.client.credentials.client.secret", tPassword, null, Medium, ReadOnly, anything(), off, "The client secret at the identity provider."},
		{"sasl.oauthbearer.clock.skew.seconds", tInt, "30", Low, ReadOnly, anything(), off, "How far clocks may differ when tokens are checked."},
		{"sasl.oauthbearer.expected.audience", tList, "", High, ReadOnly, distinct(listRule{empty: true}), off, "Whom tokens must be for."},
		{"sasl.oauthbearer.expected.issuer", tString, null, High, ReadOnly, anything(), off, "Who must have issued tokens."},
		{"sasl.oauthbearer.jwks.endpoint.refresh.ms", tLong, "3600000", Low, ReadOnly, anything(), off, "How often the issuer's keys are fetched again."},
		{"sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", tLong, "100", Low, ReadOnly, anything(), off, "The first pause between attempts to fetch them."},
		{"sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", tLong, "10000", Low, ReadOnly, anything(), off, "The longest such pause."},
		{"sasl.oauthbearer.jwks.endpoint.url", tString, null, Medium, ReadOnly, anything(), off, "Where the issuer's keys are."},
		{"sasl.oauthbearer.jwt.retriever.class", tClass, "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever", Medium, ReadOnly, anything(), off, "The Java class that gets tokens."},
		{"sasl.oauthbearer.jwt.validator.class", tClass, "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator", Medium, ReadOnly, anything(), off, "The Java class that checks tokens."},
		{"sasl.oauthbearer.scope", tString, null, Medium, ReadOnly, anything(), off, "The scope to ask for."},
		{"sasl.oauthbearer.scope.claim.name", tString, "scope", Low, ReadOnly, anything(), off, "The claim that holds the scope."},
		{"sasl.oauthbearer.sub.claim.name", tString, "sub", Low, ReadOnly, anything(), off, "The claim that holds the user's name."},
		{"sasl.oauthbearer.token.endpoint.url", tString, null, Medium, ReadOnly, anything(), off, "Where tokens are issued."},
	}
}

// accessRows is who may do what.
func accessRows() []row {
	return []row{
		{"authorizer.class.name", tString, "", Low, ReadOnly, anything(), off, "The authorizer; empty lets everybody do everything."},
		{"principal.builder.class", tClass, "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder", Medium, PerBroker, anything(), off, "The Java class that makes a principal of a connection."},
		{"security.providers", tString, null, Low, ReadOnly, anything(), off, "Java classes that make security providers."},
		{"delegation.token.secret.key", tPassword, null, Medium, ReadOnly, anything(), off, "The secret delegation tokens are signed with; without it there are none."},
		{"delegation.token.max.lifetime.ms", tLong, "604800000", Medium, ReadOnly, atLeast(1), off, "How long a delegation token may live, renewals included."},
		{"delegation.token.expiry.time.ms", tLong, "86400000", Medium, ReadOnly, atLeast(1), off, "How long a delegation token lives until it must be renewed."},
		{"delegation.token.expiry.check.interval.ms", tLong, "3600000", Low, ReadOnly, atLeast(1), off, "How often expired delegation tokens are removed."},
	}
}
