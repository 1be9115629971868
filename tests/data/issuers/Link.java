import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.time.Instant;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

class Link {
    static String ecbToken(byte[] key, String path) throws GeneralSecurityException {
        byte[] raw = path.getBytes(StandardCharsets.UTF_8);
        byte[] padded = Arrays.copyOf(raw, raw.length + (-raw.length & 15));
        Cipher aes = Cipher.getInstance("AES/ECB/NoPadding");
        aes.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(key, "AES"));
        return Base64.getUrlEncoder().encodeToString(aes.doFinal(padded));
    }

    static String jweToken(byte[] key, String claims) throws GeneralSecurityException {
        String header = base64url("{\"alg\":\"dir\",\"enc\":\"A256GCM\"}".getBytes(StandardCharsets.US_ASCII));
        byte[] iv = new byte[12];
        new SecureRandom().nextBytes(iv);
        Cipher aes = Cipher.getInstance("AES/GCM/NoPadding");
        aes.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(key, "AES"), new GCMParameterSpec(128, iv));
        aes.updateAAD(header.getBytes(StandardCharsets.US_ASCII));
        byte[] sealed = aes.doFinal(claims.getBytes(StandardCharsets.UTF_8));
        int end = sealed.length - 16;
        byte[] text = Arrays.copyOf(sealed, end);
        byte[] tag = Arrays.copyOfRange(sealed, end, sealed.length);
        return String.join(".", header, "", base64url(iv), base64url(text), base64url(tag));
    }

    static String base64url(byte[] raw) {
        return Base64.getUrlEncoder().withoutPadding().encodeToString(raw);
    }

    // use a JSON library if your program has one
    static String json(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }

    // Link.java KEY_FILE PATH [SECONDS FILENAME]
    public static void main(String[] args) throws Exception {
        byte[] key = HexFormat.of().parseHex(Files.readString(Path.of(args[0])).strip());
        if (key.length != 32) {
            throw new IllegalArgumentException(args[0] + ": expected one key of 64 hex digits");
        }
        if (args.length > 2) {
            long exp = Instant.now().getEpochSecond() + Long.parseLong(args[2]);
            String claims = "{\"path\":%s,\"exp\":%d,\"filename\":%s}"
                .formatted(json(args[1]), exp, json(args[3]));
            System.out.println(jweToken(key, claims));
        } else {
            System.out.println(ecbToken(key, args[1]));
        }
    }
}
